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

  for (const box of document.querySelectorAll(".scroll")) {
    const mark = () => {
      const more = box.scrollWidth - box.clientWidth - box.scrollLeft;
      box.parentElement.classList.toggle("more-left", box.scrollLeft > 1);
      box.parentElement.classList.toggle("more-right", more > 1);
    };
    box.addEventListener("scroll", mark);
    new ResizeObserver(mark).observe(box);
  }

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(name).trim();
  };

  const pen = document.createElement("canvas").getContext("2d");

  // How wide the widest label of a legend is, and how many lines the longest takes.
  const legendOf = (labels, font) => {
    pen.font = `12px ${font}`;
    const width = Math.max(0, ...labels.flat().map((line) => pen.measureText(line).width));
    return { width: Math.ceil(width), lines: Math.max(1, ...labels.map((lines) => lines.length)) };
  };

  const layoutOf = (figure, place) => {
    const color = theme();
    const font = getComputedStyle(document.body).fontFamily;
    const axis = { gridcolor: color("--grid"), zerolinecolor: color("--grid"), linecolor: color("--line") };
    const left = figure.layout.annotations ? 16 : 60;
    const { height, labels } = figure.layout.meta;
    const legend = legendOf(labels, font);
    const columns = Math.max(1, Math.floor((place.clientWidth - left - 12) / (legend.width + 46)));
    const below = Math.ceil(labels.length / columns) * (4 + 16 * legend.lines);
    const margin = { l: left, r: 12, t: narrow.matches ? 8 : 28, b: labels.length ? 62 + below : 48 };
    return {
      ...figure.layout,
      xaxis: { ...axis, ...figure.layout.xaxis },
      yaxis: { ...axis, ...figure.layout.yaxis },
      // Labels of rows hide the lines that they stand on.
      annotations: figure.layout.annotations?.map((one) => ({ ...one, bgcolor: color("--card") })),
      height: height + margin.t + margin.b,
      margin,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: font, size: 12, color: color("--ink") },
      hoverlabel: {
        bgcolor: color("--card"), bordercolor: color("--line"), align: "left",
        font: { color: color("--ink"), size: 12 },
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("--soft"), activecolor: color("--accent") },
      legend: {
        orientation: "h", x: 0, y: -50 / height, yanchor: "top", itemwidth: 30, entrywidth: legend.width + 4,
      },
      dragmode: narrow.matches ? false : "zoom",  // on a phone a finger scrolls the page
    };
  };

  const draw = () => {
    for (const figure of data.figures) {
      const place = document.getElementById("figure-" + figure.name);
      Plotly.react(place, figure.data, layoutOf(figure, place), config);
    }
  };

  draw();
  narrow.addEventListener("change", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
