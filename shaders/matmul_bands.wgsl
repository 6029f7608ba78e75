// Which tile of the result a workgroup takes: bands of 8 tiles of rows, and in a band column by column, so that workgroups that run
// at one time share rows and columns in the cache. Appended to kernels with tiles in workgroup memory.

const BAND = 8u;

// The tile's row and column, counted in tiles; the row is beyond the last where the grid has more workgroups than there are tiles.
fn tile_of(group: vec3<u32>, groups: vec3<u32>, tile_rows: u32) -> vec2<u32> {
  let tile = group.x + group.y * groups.x;
  let tiles_down = (p.rows + tile_rows - 1u) / tile_rows;
  let band = tile / (p.column_groups * BAND);
  let within = tile % (p.column_groups * BAND);
  let height = max(1u, min(BAND, tiles_down - min(tiles_down, band * BAND)));
  return vec2<u32>(band * BAND + within % height, within / height);
}
