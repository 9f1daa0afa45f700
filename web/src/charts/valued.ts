// The order of runs beside a chart. Pure.

/** Those without the series come last: they would fill the sight with dashes. */
export function valuedFirst<T extends { last: number | undefined; min: object | null; max: object | null }>(rows: readonly T[]): T[] {
  const none = ({ last, min, max }: T) => last === undefined && !min && !max;
  return [...rows.filter((row) => !none(row)), ...rows.filter(none)];
}
