"""Large images by overlapping tiles, for operators that act locally."""

from .grid import Tile, tile_grid
from .running import AUTO, restore_by_tiles, tile_size

__all__ = ["AUTO", "Tile", "restore_by_tiles", "tile_grid", "tile_size"]
