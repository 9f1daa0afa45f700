// Whether an element is in sight: one observer for all.

const told = new Map<Element, (sight: boolean) => void>();
let observer: IntersectionObserver | null = null;

export function watchSight(element: Element, tell: (sight: boolean) => void): () => void {
  observer ??= new IntersectionObserver((entries) => {
    for (const entry of entries) told.get(entry.target)?.(entry.isIntersecting);
  });
  told.set(element, tell);
  observer.observe(element);
  return () => {
    told.delete(element);
    observer?.unobserve(element);
  };
}
