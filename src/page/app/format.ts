/** Numbers as people read them. Pure. */

const none = "–";

export function bytes(count: number | undefined): string {
  if (count === undefined) return none;
  const units = ["B", "K", "M", "G", "T"];
  let value = count;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_024;
    unit++;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)}${units[unit]}`;
}

/** A share of one core. */
export function percent(share: number | undefined): string {
  if (share === undefined) return none;
  const value = share * 100;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)}%`;
}

/** "1 842", with a narrow space. */
export function rate(perSecond: number | undefined): string {
  if (perSecond === undefined) return none;
  if (perSecond > 0 && perSecond < 9.95)
    return perSecond.toFixed(perSecond < 0.1 ? 2 : 1).replace(/\.0$/, "");
  return count(Math.round(perSecond));
}

export function count(whole: number | undefined): string {
  if (whole === undefined) return none;
  return String(whole).replaceAll(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Milliseconds, without the unit. */
export function ms(value: number | undefined): string {
  if (value === undefined) return none;
  if (value < 1) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : count(Math.round(value));
}

/** "41 s", "12 min", "2 h", "3 d". */
export function duration(milliseconds: number | null | undefined): string {
  if (milliseconds === undefined || milliseconds === null) return none;
  const seconds = Math.max(0, milliseconds / 1_000);
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** A time of day. */
export function time(at: number): string {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
}

/** The beginning of a uuid, as furrow's messages have it. */
export function short(uuid: string): string {
  return uuid.slice(0, 8);
}
