"""How large a rendition is, and which part of the picture it shows. Pure arithmetic on (width, height) in pixels."""

from __future__ import annotations

from dataclasses import dataclass

from include.images.engine.recipe import Recipe

Size = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """The whole picture is scaled to `scaled`; what is shown of it is `final` large."""

    scaled: Size
    final: Size

    @property
    def crops(self) -> bool:
        """Whether something is cut off."""
        return self.final[0] < self.scaled[0] or self.final[1] < self.scaled[1]

    @property
    def pads(self) -> bool:
        """Whether background shows around the picture."""
        return self.final[0] > self.scaled[0] or self.final[1] > self.scaled[1]


def layout(source: Size, recipe: Recipe) -> Layout:
    """The sizes of a rendition of a picture of that size. Never larger than the source, unless the recipe says so."""
    box = recipe.box or (recipe.side or 1, recipe.side or 1)
    ratios = (box[0] / source[0], box[1] / source[1])
    scale = max(ratios) if recipe.fit == "cover" else min(ratios)
    if not recipe.enlarge:
        scale = min(scale, 1.0)
    scaled = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
    if recipe.fit == "inside":
        return Layout(scaled, scaled)
    if recipe.fit == "contain":
        return Layout(scaled, box)
    return Layout(scaled, (min(box[0], scaled[0]), min(box[1], scaled[1])))
