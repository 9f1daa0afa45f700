// A pictogram, in the colour of the text around it.
import { ICONS, type IconName } from "./icons";
import "./Icon.css";

export type { IconName };

export interface IconProps {
  name: IconName;
  /** px, width and height. */
  size?: number | undefined;
}

const FAT: ReadonlySet<IconName> = new Set(["more", "grip"]);

export function Icon({ name, size = 16 }: IconProps) {
  return (
    <svg className="ui-icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={ICONS[name]} strokeWidth={FAT.has(name) ? 3 : 1.8} />
    </svg>
  );
}
