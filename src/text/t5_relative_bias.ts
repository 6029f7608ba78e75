// T5's relative position bias: a learned number a head and bucket of distances, laid out by distance for the attention kernel.

/**
 * The bucket of a distance, bidirectional: half of the buckets look back, half ahead; near distances have one each, far ones
 * share logarithmically.
 *
 * @param distance Key position minus query position.
 */
export function relativeBucket(distance: number, buckets: number, maxDistance: number): number {
  const half = buckets / 2;
  const exact = half / 2;
  const ahead = distance > 0 ? half : 0;
  const far = Math.abs(distance);
  if (far < exact) return ahead + far;
  // f32, as in the reference: the logarithm falls on whole numbers at some distances.
  const ratio = Math.fround(Math.log(Math.fround(far / exact)));
  const steps = Math.fround(Math.fround(ratio / Math.log(maxDistance / exact)) * (half - exact));
  return ahead + Math.min(exact + Math.trunc(steps), half - 1);
}

/**
 * The bias by head and distance.
 *
 * @param table [buckets, H] as the checkpoint has it.
 * @returns [H, 2 L - 1]: entry d - 1 + L of head h is what is added where key position minus query position is d.
 */
export function relativeBiasByDistance(
  table: Float32Array,
  heads: number,
  tokens: number,
  maxDistance: number,
): Float32Array {
  const buckets = table.length / heads;
  const distances = 2 * tokens - 1;
  const bias = new Float32Array(heads * distances);
  for (let i = 0; i < distances; i++) {
    const bucket = relativeBucket(i - tokens + 1, buckets, maxDistance);
    for (let head = 0; head < heads; head++) bias[head * distances + i] = table[bucket * heads + head];
  }
  return bias;
}
