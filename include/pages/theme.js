// Airflow's theme, light or dark: that of the page around this one, or as chosen there before, or the system's.
"use strict";
(() => {
  const own = document.documentElement;
  const around = () => { try { return window.parent === window ? null : window.parent.document.documentElement; } catch { return null; } };
  const chosen = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const system = matchMedia("(prefers-color-scheme: dark)");

  function follow() {
    const outer = around();
    const dark = outer && /\b(dark|light)\b/.test(outer.className) ? outer.classList.contains("dark")
      : chosen() === "dark" || (chosen() !== "light" && system.matches);
    own.style.colorScheme = dark ? "dark" : "light";
    own.dataset.theme = own.style.colorScheme;
  }

  follow();
  system.addEventListener("change", follow);
  window.addEventListener("storage", follow);
  const outer = around();
  if (outer) new MutationObserver(follow).observe(outer, { attributes: true, attributeFilter: ["class", "style"] });
})();
