// A run's colour and line pattern, as a dot: filled where its line is solid, with a dashed ring where it is not.
import { colorOf, useColors } from "../model/colors";
import { useTheme } from "../state/theme";

/** The ring's pattern at this size, by the length of the line's. */
const RINGS: Record<number, string> = { 0: "", 2: "5 3", 4: "9 2 2 2" };

export function RunDot({ run, size = 12 }: { run: { id: string; ordinal: number }; size?: number | undefined }) {
  useColors();
  const theme = useTheme();
  const { [theme]: color, dash } = colorOf(run);
  const ring = dash.length === 2 && (dash[0] ?? 0) < 4 ? "2 2" : (RINGS[dash.length] ?? "");
  return (
    <svg width={size} height={size} viewBox="0 0 12 12" aria-hidden="true" style={{ flex: "none", display: "block" }}>
      {ring ? (
        <>
          <circle cx="6" cy="6" r="2.4" fill={color} />
          <circle cx="6" cy="6" r="4.9" fill="none" stroke={color} strokeWidth="1.7" strokeDasharray={ring} />
        </>
      ) : (
        <circle cx="6" cy="6" r="5" fill={color} />
      )}
    </svg>
  );
}
