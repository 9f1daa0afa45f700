// The pieces that every room is made of.
export { Button, IconButton, type ButtonProps, type IconButtonProps } from "./Button";
export { Segmented, Select, Switch, Tabs, type Option } from "./choices";
export { copyText, CopyButton } from "./CopyButton";
export { Dialog } from "./Dialog";
export { Empty } from "./Empty";
export { useDebounced, useMedia, useWidth } from "./hooks";
export { Icon, type IconName } from "./Icon";
export { later } from "./later";
export { Menu, type MenuItem } from "./Menu";
export { Popover, type TriggerProps } from "./Popover";
export { RunDot } from "./RunDot";
export { useSharedMenu, useSharedPanel, type SharedPanel } from "./shared";
export { Skeleton } from "./Skeleton";
export { StatusBadge } from "./StatusBadge";
export { TextInput } from "./TextInput";
export { toast, Toasts, type ToastOptions } from "./toasts";
export { TroubleNote } from "./TroubleNote";
