// Light or dark: what the system says, unless the person chose. Loaded before the page is drawn, so that nothing flashes.
"use strict";
(() => {
  const root = document.documentElement;
  const kept = () => { try { return localStorage.getItem("rateguard-theme"); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem("rateguard-theme", theme); } catch { /* private windows keep nothing */ } };
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  if (kept()) root.dataset.theme = kept();
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
      button.hidden = false;
      name();
      button.addEventListener("click", () => {
        root.dataset.theme = isDark() ? "light" : "dark";
        keep(root.dataset.theme);
        name();
        document.dispatchEvent(new CustomEvent("rateguard:theme"));
      });
    }
  });
})();
