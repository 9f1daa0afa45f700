// The page begins: what its first room is made of is asked for before the code that draws it has been read. Nothing of React in here.
import { askEarly, query } from "./api/client";
import { roomOf } from "./shell/rooms";

const { room, name } = roomOf(window.location.pathname);
const words = new URLSearchParams(window.location.search);
// What is sorted or grouped by, and columns, may need series: of these the room knows more.
if (room === "p" && name && !["sort", "group", "cols"].some((word) => words.has(word))) {
  askEarly(`/table${query({ namespace: words.get("ns") ?? "", project: name })}`);
}
void import("./start");
