// Draws the figures of the data beside it; colours follow the page's, light or dark.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const narrow = window.matchMedia("(max-width: 600px)");
  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    displayModeBar: narrow.matches ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(name).trim();
  };

  const layoutOf = (figure) => {
    const color = theme();
    const axis = { gridcolor: color("--grid"), zerolinecolor: color("--grid"), linecolor: color("--line") };
    const { groups, rows } = figure.layout.meta;
    return {
      ...figure.layout,
      xaxis: { ...axis, ...figure.layout.xaxis },
      yaxis: { ...axis, ...figure.layout.yaxis },
      height: figure.layout.height + (rows || !narrow.matches ? 0 : 24 * groups),
      margin: { l: rows ? 16 : 56, r: 12, t: narrow.matches ? 8 : 28, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--ink") },
      hoverlabel: {
        bgcolor: color("--card"), bordercolor: color("--line"), align: "left",
        font: { color: color("--ink"), size: 12 },
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("--soft"), activecolor: color("--accent") },
      legend: { orientation: "h", x: 0, y: -0.17, yanchor: "top", itemwidth: 30 },
      dragmode: narrow.matches ? false : "zoom",  // on a phone a finger scrolls the page
    };
  };

  const draw = () => {
    for (const figure of data.figures) {
      const place = document.getElementById("figure-" + figure.name);
      Plotly.react(place, figure.data, layoutOf(figure), config);
    }
  };

  draw();
  narrow.addEventListener("change", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
