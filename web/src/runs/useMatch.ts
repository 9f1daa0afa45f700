// Which runs an expression of the filter language matches: the server's answer, for what has been typed last.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api, ApiError } from "../api/client";

export interface Match {
  /** null: all of them. */
  ids: ReadonlySet<string> | null;
  pending: boolean;
  error: Error | null;
  /** [begin, end) of the part that is wrong. */
  at: readonly [number, number] | null;
}

/** `stamp` changes when runs have: the answer may be another one then. */
export function useMatch(namespace: string, project: string, filter: string, stamp: number | undefined): Match {
  const asked = useQuery({
    queryKey: ["match", namespace, project, filter],
    queryFn: async ({ signal }) => new Set(await api.match(namespace, project, filter, signal)),
    enabled: filter.trim() !== "",
    structuralSharing: false,
    retry: (failures, error) => error instanceof ApiError && (error.trouble === "offline" || error.trouble === "busy") && failures < 2,
  });
  const { refetch } = asked;
  const first = useRef(stamp);
  useEffect(() => {
    if (first.current !== undefined && stamp !== first.current && filter.trim()) void refetch();
    first.current = stamp;
  }, [stamp, filter, refetch]);

  // While an expression is being written it is mostly wrong: the runs of the last one that could be read stay in sight.
  const last = useRef<ReadonlySet<string> | null>(null);
  if (!filter.trim()) last.current = null;
  else if (asked.data) last.current = asked.data;
  if (!filter.trim()) return { ids: null, pending: false, error: null, at: null };
  const { error } = asked;
  return { ids: last.current, pending: asked.isFetching, error, at: error instanceof ApiError ? error.at : null };
}
