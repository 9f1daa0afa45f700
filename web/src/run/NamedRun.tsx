// The address that people have of a run, /runs/<project>/<name>: finds the run's id, and goes on to its page.
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, ApiError } from "../api/client";
import { follow, navigate, usePlace } from "../state/url";
import { Empty, Skeleton, TroubleNote } from "../ui";

export function NamedRun({ project, name }: { project: string; name: string }) {
  const { query } = usePlace();
  const namespace = query.get("ns") ?? "";
  const asked = useQuery({
    queryKey: ["named-run", namespace, project, name],
    queryFn: ({ signal }) => api.namedRun(namespace, project, name, signal),
  });
  const id = asked.data?.id;
  useEffect(() => {
    // In place of this address, so that "back" leads to where the reader came from.
    if (id) navigate(`/run/${encodeURIComponent(id)}`, { replace: true });
  }, [id]);
  const missing = asked.error instanceof ApiError && asked.error.trouble === "missing";
  return (
    <main className="run-page" aria-busy={asked.isPending}>
      {missing ? (
        <Empty icon="search" title={`There is no run ${name} in ${project}`} text="It may have been deleted or never sent here, or your token does not cover its namespace.">
          <a href="/" onClick={follow}>All projects</a>
        </Empty>
      ) : asked.error ? (
        <TroubleNote error={asked.error} what="this run" retry={() => void asked.refetch()} />
      ) : (
        <div className="pad"><Skeleton height={26} /><Skeleton lines={8} /></div>
      )}
    </main>
  );
}
