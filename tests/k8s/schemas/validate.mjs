// Holds the objects on standard input (a JSON list) against the schemas that the projects publish in
// their custom resource definitions. They check types, values and what is required; a field that no
// schema has passes.
import { readFileSync } from "node:fs";

const packages = {
  "cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};

let valid = 0;
let invalid = 0;
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const [group, version] = object.apiVersion.split("/");
  const path = `@kubernetes-models/${packages[group]}/${group}/${version}/${object.kind}`;
  try {
    const Kind = (await import(path))[object.kind];
    new Kind(object).validate();
    valid += 1;
  } catch (error) {
    invalid += 1;
    console.log(`${object.kind} ${object.metadata.name}: ${error.message}`);
  }
}
console.log(`${valid} valid`);
process.exit(invalid ? 1 : 0);
