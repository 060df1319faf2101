//! Tests of the importer against models that another implementation of protobuf encoded.

#[cfg(test)]
mod build;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod external;
#[cfg(test)]
mod functions;
#[cfg(test)]
mod graphs;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod subgraphs;
#[cfg(test)]
mod tensors;
#[cfg(test)]
mod types;
#[cfg(test)]
mod write;
