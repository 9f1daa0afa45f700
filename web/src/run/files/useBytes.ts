// The beginning of a file, as much of it as was asked for: by ranges, each fetched once.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { request } from "../../api/client";
import type { FileRecord } from "../../api/types";

export interface Part {
  text: string;
  /** Bytes that are here. */
  loaded: number;
  whole: boolean;
  /** It has bytes that no text has. */
  binary: boolean;
}

export interface Bytes {
  part: Part | undefined;
  error: Error | null;
  busy: boolean;
  more: () => void;
  retry: () => void;
}

export function useBytes(run: string, file: FileRecord, first: number, next: number): Bytes {
  const asked = useInfiniteQuery({
    queryKey: ["bytes", run, file.id, file.checksum, first],
    initialPageParam: 0,
    queryFn: async ({ pageParam, signal }): Promise<Uint8Array> => {
      if (file.sizeBytes === 0) return new Uint8Array();
      const stop = Math.min(file.sizeBytes, pageParam + (pageParam ? next : first));
      const path = `/runs/${encodeURIComponent(run)}/files/${encodeURIComponent(file.id)}/bytes`;
      const answer = await request(path, { signal, headers: { Range: `bytes=${pageParam}-${stop - 1}` } });
      return new Uint8Array(await answer.arrayBuffer());
    },
    getNextPageParam: (_, pages) => {
      const loaded = pages.reduce((sum, page) => sum + page.length, 0);
      return loaded < file.sizeBytes ? loaded : undefined;
    },
    staleTime: Infinity,
    gcTime: 60_000,
    structuralSharing: false,
  });
  const pages = asked.data?.pages;
  const part = useMemo((): Part | undefined => {
    if (!pages) return undefined;
    const loaded = pages.reduce((sum, page) => sum + page.length, 0);
    const whole = loaded >= file.sizeBytes;
    const decoder = new TextDecoder();
    // A letter may be cut at the end of a page: the decoder keeps its beginning until the rest comes, or leaves it out.
    const text = pages.map((page) => decoder.decode(page, { stream: true })).join("") + (whole ? decoder.decode() : "");
    return { text, loaded, whole, binary: text.slice(0, 100_000).includes("\u0000") };
  }, [pages, file.sizeBytes]);
  return {
    part,
    error: asked.error,
    busy: asked.isFetching,
    more: () => void (asked.hasNextPage && !asked.isFetching && asked.fetchNextPage()),
    retry: () => void (asked.data ? asked.fetchNextPage() : asked.refetch()),
  };
}
