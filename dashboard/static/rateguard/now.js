/* The page Now: says whether newer figures come by themselves, and leaves tables where they were scrolled to. */
(function () {
  "use strict";
  var frame = document.getElementById("now-live");
  var state = document.getElementById("now-state");
  if (!frame || !state || !window.htmx) return;
  var states = state.innerHTML;
  var isOver = false;
  var scrolled = {};

  function show(which) {
    if (isOver) return;
    if (!state.querySelector("[data-live]")) state.innerHTML = states;
    state.querySelectorAll("[data-live]").forEach(function (one) { one.hidden = one.dataset.live !== which; });
  }

  frame.addEventListener("htmx:sseOpen", function () { show("yes"); });
  frame.addEventListener("htmx:sseError", function () { show("lost"); });
  frame.addEventListener("htmx:sseClose", function () { isOver = true; });
  frame.addEventListener("htmx:sseBeforeMessage", function () {
    frame.querySelectorAll(".scroll[id]").forEach(function (one) { scrolled[one.id] = one.scrollLeft; });
  });
  frame.addEventListener("htmx:sseMessage", function (told) {
    if (told.detail.type === "now") show("yes");
    Object.keys(scrolled).forEach(function (id) {
      var one = document.getElementById(id);
      if (one) one.scrollLeft = scrolled[id];
    });
  });
})();
