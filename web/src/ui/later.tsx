// A component whose code is fetched when it is first shown. React's own `lazy` keeps what follows a fallback back for 300 ms, so that nothing
// flickers; here it stands in the render after its code has come.
import { useEffect, useState, type ComponentType, type ReactNode } from "react";

/** A component that can be fetched before it is shown. */
export type Later<P> = ((props: P) => ReactNode) & {
  /** Settles when the code is there; a failure is told where the component is shown, not here. */
  ahead: () => Promise<void>;
};

/** `load` is asked once, and again after a failure, which goes to the boundary above. Meanwhile `waiting` is shown. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>, waiting: () => ReactNode = () => null): Later<P> {
  let Room: ComponentType<P> | null = null;
  let coming: Promise<void> | null = null;

  const come = (): Promise<void> =>
    (coming ??= load().then(
      (found) => {
        Room = found;
      },
      (error: unknown) => {
        coming = null;
        throw error;
      },
    ));

  function Fetched(props: P): ReactNode {
    const [, setThere] = useState(false);
    const [failure, setFailure] = useState<{ error: unknown } | null>(null);
    useEffect(() => {
      let left = false;
      come().then(
        () => left || setThere(true),
        (error: unknown) => left || setFailure({ error }),
      );
      return () => {
        left = true;
      };
    }, []);
    if (failure) throw failure.error;
    return Room ? <Room {...props} /> : waiting();
  }
  return Object.assign(Fetched, { ahead: () => come().catch(() => undefined) });
}
