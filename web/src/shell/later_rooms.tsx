// The rooms that are fetched when they are first shown. What is said of them meanwhile, and nothing of what they show.
import { useEffect, useState } from "react";
import { later } from "../ui";

const PATIENCE = 300;

/** Nothing at first: a room's code is there in less time than a reader needs to see that it was not. */
function Waiting() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = window.setTimeout(() => setLate(true), PATIENCE);
    return () => window.clearTimeout(timer);
  }, []);
  return late ? <p className="room-waiting soft">Opening…</p> : null;
}

const waiting = () => <Waiting />;

export const ProjectPage = later(() => import("../runs/ProjectPage").then((room) => room.ProjectPage), waiting);
export const RunPage = later(() => import("../run/RunPage").then((room) => room.RunPage), waiting);
export const NamedRun = later(() => import("../run/NamedRun").then((room) => room.NamedRun), waiting);
