// Integrals of the polynomial through a solver's last predictions. In: the places of the predictions and an interval. Out: the
// weight of each prediction in the integral.

/** The places, from -1 to 1, and weights of Gauss and Legendre's rule, which is exact up to degree 2 * count - 1. */
function gaussLegendre(count: number): { place: number; weight: number }[] {
  return Array.from({ length: count }, (_, index) => {
    // A root of the Legendre polynomial, by Newton's method from a guess that is good to three digits.
    let place = Math.cos(Math.PI * (index + 0.75) / (count + 0.5));
    let slope = 0;
    for (let round = 0; round < 8; round++) {
      let [previous, value] = [1, place];
      for (let degree = 2; degree <= count; degree++) {
        [previous, value] = [value, ((2 * degree - 1) * place * value - (degree - 1) * previous) / degree];
      }
      slope = count * (place * value - previous) / (place * place - 1);
      place -= value / slope;
    }
    return { place, weight: 2 / ((1 - place * place) * slope * slope) };
  });
}

// Exponential weights over a whole schedule, ten units of log SNR, come out to the last digits of a double.
const RULE = gaussLegendre(24);

/**
 * The integral of each Lagrange polynomial of some places.
 * @param nodes The places, all different.
 * @param from Where the interval starts.
 * @param to Where it ends.
 * @param weight What the polynomials are multiplied with.
 * @returns One integral a node: the factor of the value there.
 */
export function lagrangeIntegrals(
  nodes: readonly number[],
  from: number,
  to: number,
  weight: (place: number) => number = () => 1,
): number[] {
  const [middle, half] = [(from + to) / 2, (to - from) / 2];
  return nodes.map((node) => {
    const others = nodes.filter((other) => other !== node);
    return half * RULE.reduce((sum, point) => {
      const place = middle + half * point.place;
      const basis = others.reduce((product, other) => product * (place - other) / (node - other), 1);
      return sum + point.weight * weight(place) * basis;
    }, 0);
  });
}

/** How many of the first values differ from the one before them; rounded timesteps can repeat, and tell no slope then. */
export function distinctLength(values: readonly number[]): number {
  const repeated = values.findIndex((value, index) => index > 0 && value === values[index - 1]);
  return repeated < 0 ? values.length : repeated;
}
