// What is in the data factory: linked service, pipelines and, in a factory that was there before, the global parameters.

@description('Name of the factory; this module is deployed in its resource group.')
param factoryName string

@description('Address of the lake\'s dfs service.')
param lakeDfsUri string

@description('What the pipelines read as pipeline().globalParameters.')
param globalParameters object

@description('The factory was there before: its own global parameters are kept, and these are added.')
param addGlobalParameters bool

var lakeService = any(loadJsonContent('../adf/linkedService/lake.json'))

// A pipeline of your own that reactions.yaml names: a file here, and a line here.
var pipelines = [
  any(loadJsonContent('../adf/pipeline/score-diabetes.json'))
  any(loadJsonContent('../adf/pipeline/train-diabetes.json'))
]

resource factory 'Microsoft.DataFactory/factories@2018-06-01' existing = {
  name: factoryName
}

// A factory has one set of global parameters, and to put it replaces it.
resource mergedParameters 'Microsoft.DataFactory/factories/globalParameters@2018-06-01' = if (addGlobalParameters) {
  parent: factory
  name: 'default'
  properties: union(
    contains(factory.properties, 'globalParameters') ? factory.properties.globalParameters : {},
    globalParameters
  )
}

resource lake 'Microsoft.DataFactory/factories/linkedservices@2018-06-01' = {
  parent: factory
  name: lakeService.name
  properties: union(lakeService.properties, {
    typeProperties: {
      url: lakeDfsUri
    }
  })
}

resource pipelineOf 'Microsoft.DataFactory/factories/pipelines@2018-06-01' = [
  for pipeline in pipelines: {
    parent: factory
    name: pipeline.name
    properties: pipeline.properties
    dependsOn: [mergedParameters, lake]
  }
]
