// The page is complete without this script: it replaces each still drawing, as it comes into
// view, by the same drawing that answers the pointer.
const specifications = JSON.parse(document.getElementById("specifications").textContent);
const boxes = document.querySelector(".variants");
const views = [];

function shown() {
  return [...boxes.querySelectorAll("input:checked")].map((box) => box.value);
}

async function enliven(chart) {
  const still = chart.innerHTML;
  try {
    const options = { renderer: "svg", actions: false };
    const { view } = await vegaEmbed(chart, specifications[chart.dataset.figure], options);
    views.push(view);
    if (boxes) view.signal("shown", shown()).run();
  } catch (error) {
    console.error(error);
    chart.innerHTML = still;
  }
}

const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries.filter((entry) => entry.isIntersecting)) {
      observer.unobserve(entry.target);
      enliven(entry.target);
    }
  },
  { rootMargin: "300px" },
);

if (boxes) {
  boxes.hidden = false;
  boxes.addEventListener("change", () => {
    for (const view of views) view.signal("shown", shown()).run();
  });
}
document.querySelectorAll(".chart").forEach((chart) => observer.observe(chart));
