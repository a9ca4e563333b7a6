// A job's page asks again every two seconds. Where nobody answers, what is shown is old: the page says so, until it hears again.
"use strict";
(() => {
  const tell = (isStale) => {
    const live = document.getElementById("live");
    const liveness = document.getElementById("liveness");
    if (live) live.classList.toggle("stale", isStale);
    if (liveness && isStale) liveness.textContent = "not fresh: the server does not answer";
  };
  document.addEventListener("htmx:responseError", () => tell(true));
  document.addEventListener("htmx:sendError", () => tell(true));
})();
