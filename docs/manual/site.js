// The filter of the navigation: it shows the links that have the typed words. Without scripts the navigation is whole.
const filter = document.getElementById("filter");
const groups = [...document.querySelectorAll("nav.site details")];
const before = groups.map((group) => group.open);
filter.hidden = false;
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of document.querySelectorAll("nav.site li")) {
    const text = entry.textContent.toLowerCase();
    entry.hidden = !words.every((word) => text.includes(word));
  }
  groups.forEach((group, at) => {
    group.open = words.length ? true : before[at];
    group.hidden = !group.querySelector("li:not([hidden])");
  });
});
filter.addEventListener("keydown", (event) => {
  const first = document.querySelector("nav.site li:not([hidden]) a");
  if (event.key === "Enter" && filter.value && first) location.href = first.href;
});
const current = document.querySelector("nav.site [aria-current]");
if (current) {
  const site = document.querySelector("nav.site");
  site.scrollTop = current.offsetTop - site.offsetTop - site.clientHeight / 2;
}
