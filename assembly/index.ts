// The ABI: the only exports of prism.wasm, a block a structure.
import { abort } from "./abort";
abort; // named by asconfig.json ("use"); the import alone makes the compiler see it

export { regionAlloc, regionReserve, regionFree, regionCapacity, regionPagesInUse } from "./region";

export {
  docSetNew, docSetFree, docSetAdd, docSetRemove, docSetHas, docSetCount, docSetLength, docSetFill, docSetSeal,
  docSetAnd, docSetAndCount, docSetAndNot, docSetOr, docSetGather, docSetGrow,
} from "./doc-set";

export { crc32c } from "./crc32c";

export {
  blobHeaderBytes, blobBegin, blobAddSection, blobFinish, blobCheckBytes, blobCheck, blobCheckPage, blobPageCrc,
  blobPageCount, blobBody, blobLength, blobKind, blobVersion, section, sectionLength,
} from "./blob";

export {
  vectorWriterNew, vectorWriterRow, vectorWriterAdd, vectorWriterExtend, vectorWriterRelink,
  vectorWriterEnterNewLinks, vectorWriterInsertLost, vectorWriterExtended, vectorWriterBytes, vectorWriterSeal,
  vectorSegmentOpen, vectorSegmentCheck, vectorRowJson, vectorRowJsonMax, vectorFree, vectorCount,
  vectorCountAccepted, vectorDimension, vectorMetric, vectorQuery, vectorSearch, vectorResults, vectorScores,
  vectorOf, vectorJson, vectorJsonText,
} from "./vector/abi";

// Used inside the module; exported so that every width can be tried.
export { width128, pack128, ordinalsFromGaps } from "./text/bit-packing";
export { unpack128 } from "./text/bit-unpacking";

export { textInput } from "./text/scratch";
export {
  textWriterNew, textWriterAddText, textWriterAddTerm, textWriterAddPoint, textWriterEnd, textWriterBytes,
  textWriterFree,
} from "./text/text-writer";
export { textWriterSeal } from "./text/text-seal";
export { textSegmentOpen, textSegmentFailure, textSegmentCheck, textSegmentFree } from "./text/text-open";
export { textNeed, textNeedTerm, textNeedId } from "./text/text-need";
export { textSearch, textSearchTotal, textSearchHits, textSearchEnd, textFilter } from "./text/search";
export {
  textDocCount, textFieldLength, textFieldDocCount, textDocFreq, textLookup, textLookupCount, textLookupEnd,
  textLastDocument, textAnalyze,
} from "./text/lookup";

export {
  graphNew, graphFree, graphBytes, graphNode, graphPutNode, graphRemoveNode, graphRecord, graphRecordBytes,
  graphPutEdge, graphRemoveEdge, graphReserve, graphHasEdge, graphSetDocumentEdges, graphWantAll, graphWantNone,
  graphWant,
  graphEdges, graphStats,
} from "./graph/graph";
export { graphWalkBegin, graphWalkFrom, graphBfs, graphShortestPath } from "./graph/walk";
export {
  graphWriterNew, graphWriterFree, graphWriterBytes, graphWriterPutNode, graphWriterDeleteNode, graphWriterSetEdge,
  graphWriterAddDocument, graphWriterAddSegment, graphWriterDropDeleted, graphWriterIsEmpty, graphWriterSeal,
} from "./graph/writer";
export {
  graphSegmentOpen, graphSegmentFree, graphSegmentCheck, graphSegmentNodes, graphSegmentEdges, graphSegmentDocuments,
  graphSegmentExplicitWeights,
} from "./graph/segment";
export { graphAddSegment } from "./graph/load";
export { graphOutputEnd } from "./graph/output";
