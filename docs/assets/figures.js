// Draw the stored figures of a notebook with the plotly.js that lies beside the pages.
window.addEventListener("load", () => {
  if (typeof Plotly === "undefined") return;
  for (const place of document.querySelectorAll(".figure")) {
    const figure = JSON.parse(place.querySelector("script").textContent);
    const options = { responsive: true, displayModeBar: false, showSendToCloud: false };
    Plotly.newPlot(place, figure.data, figure.layout, { ...figure.config, ...options });
  }
});
