// Unfolds the claim that a link leads to.
function unfold() {
  const target = document.getElementById(location.hash.slice(1));
  const fold = target?.closest("section")?.querySelector(":scope > .cell details");
  if (fold) fold.open = true;
}
addEventListener("DOMContentLoaded", unfold);
addEventListener("hashchange", unfold);
