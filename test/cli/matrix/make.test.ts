import { describeRows } from "../../support/matrix.ts";
import { make } from "./make.ts";

describeRows(make);
