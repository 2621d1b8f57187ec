// Load: brings what a segment says into a graph. Segments come oldest first, so that the newest word counts.
import { docSetHas, docSetLength } from "../doc-set";
import { addDerived, dropOwned, putExplicit, releaseNode, releaseType, removeExplicit, storeOf } from "./graph";
import { isNamed, NONE } from "./names";
import {
  DOCUMENT_END_OFFSET, DOCUMENT_ID_OFFSET, DOCUMENT_ORD_OFFSET, documentAt, GraphSegment,
} from "./segment";
import { clearRecord, GraphStore } from "./store";
import {
  edgeFrom, edgeIsDeleted, edgeTo, edgeType, edgeWeight, metNode, metType, nodeOfId, passEdges, readEdge, transferBegin,
  transferEnd, transferExplicit, transferNodes,
} from "./transfer";

/** Whether a document is in `live`, a DocSet; every one is where that is 0. */
@inline export function isLiveDocument(live: usize, docOrd: u32): bool {
  return !live || (docOrd < docSetLength(live) && docSetHas(live, docOrd));
}

/** Brings in nodes, explicit edges, and those that are derived from documents in `live` (a DocSet; 0: from all). False when
 *  memory is used up; some of it is there then. */
export function graphAddSegment(graph: usize, segment: usize, live: usize): bool {
  const all = storeOf(graph);
  const from = changetype<GraphSegment>(segment);
  if (!transferBegin(from)) return false;
  const isIn = transferNodes(all, from, removeRecord) && transferExplicit(all, from, takeEdge) &&
    addDocuments(all, from, live);
  // A name is released only now: in between, its ordinal could have become another's.
  for (let id: u32 = 0; id < from.idCount; id++) {
    const node = metNode(id);
    if (node != NONE && isNamed(all.nodes, node)) releaseNode(all, node);
  }
  for (let name: u32 = 0; name < from.typeCount; name++) {
    const type = metType(name);
    if (type != NONE && isNamed(all.types, type)) releaseType(all, type);
  }
  transferEnd();
  return isIn;
}

function removeRecord(graph: GraphStore, node: u32): void {
  clearRecord(graph, node);
}

function takeEdge(graph: GraphStore): bool {
  if (!edgeIsDeleted) return putExplicit(graph, edgeFrom, edgeType, edgeTo, edgeWeight);
  removeExplicit(graph, edgeFrom, edgeType, edgeTo);
  return true;
}

function addDocuments(graph: GraphStore, segment: GraphSegment, live: usize): bool {
  let i: u32 = 0;
  for (let d: u32 = 0; d < segment.documentCount; d++) {
    const document = documentAt(segment, d);
    const end = load<u32>(document, DOCUMENT_END_OFFSET);
    if (!isLiveDocument(live, load<u32>(document, DOCUMENT_ORD_OFFSET))) {
      passEdges(segment.derived, i, end);
      i = end;
      continue;
    }
    const owner = nodeOfId(graph, segment, load<u32>(document, DOCUMENT_ID_OFFSET));
    if (owner == NONE) return false;
    dropOwned(graph, owner);
    for (; i < end; i++) {
      if (!readEdge(graph, segment, segment.derived, i)) return false;
      if (!addDerived(graph, edgeFrom, edgeType, edgeTo, edgeWeight, owner)) return false;
    }
  }
  return true;
}
