import { describeRows } from "../../support/matrix.ts";
import { use } from "./use.ts";

describeRows(use);
