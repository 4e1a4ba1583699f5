// The network of an isolated environment: one subnet that the app's calls leave through, one for private endpoints, and
// the private names of everything behind those. docs/network.md says who reaches whom.

@description('Region of the network; the function app must be in it, too.')
param location string

@description('Tags of everything here.')
param tags object

@description('Name of the network, and the end of the names of what belongs to it.')
param name string

@description('Addresses of the network. Choose others before peering it with one that has the same.')
param addressPrefix string = '10.60.0.0/24'

// Flex Consumption wants a /27 or more, as every instance takes an address; a /26 has 59 to give.
@description('Addresses of the subnet that the app\'s calls leave through.')
param functionPrefix string = '10.60.0.0/26'

@description('Addresses of the subnet for private endpoints.')
param endpointPrefix string = '10.60.0.64/26'

@description('Outgoing calls are let through to the services the app needs only. False if something else is needed.')
param restrictOutbound bool = true

// What the app calls by a public name, and what its platform does: the images and the files of the Functions host. The
// second row is what Container Apps, whose machinery Flex Consumption runs on, documents; it was not tried on Azure.
var outboundServices = [
  { name: 'resource-manager', tag: 'AzureResourceManager' }
  { name: 'entra', tag: 'AzureActiveDirectory' }
  { name: 'telemetry', tag: 'AzureMonitor' }
  { name: 'platform-images', tag: 'MicrosoftContainerRegistry' }
  { name: 'platform-files', tag: 'AzureFrontDoor.FirstParty' }
]

var storageSuffix = environment().suffixes.storage
var zoneNames = [
  'privatelink.blob.${storageSuffix}'
  'privatelink.dfs.${storageSuffix}'
  'privatelink.queue.${storageSuffix}'
  'privatelink.table.${storageSuffix}'
  'privatelink.file.${storageSuffix}'
  'privatelink.vaultcore.azure.net'
  'privatelink.azurecr.io'
  'privatelink.api.azureml.ms'
  'privatelink.notebooks.azure.net'
  'privatelink.eventgrid.azure.net'
  'privatelink.azurewebsites.net'
]

// An object by names. toObject() says it shorter, but the parser of checkov does not know it, and would skip this file.
var zoneIds = [for zoneName in zoneNames: '"${zoneName}": "${resourceId('Microsoft.Network/privateDnsZones', zoneName)}"']

var serviceRules = [
  for (service, i) in outboundServices: {
    name: 'to-${service.name}'
    properties: {
      direction: 'Outbound'
      priority: 200 + i
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: '*'
      sourcePortRange: '*'
      destinationAddressPrefix: service.tag
      destinationPortRange: '443'
    }
  }
]
// Everything inside the network stays allowed by the rules that every group has; private endpoints are inside.
var outboundRules = concat(serviceRules, [
  {
    name: 'to-nowhere-else'
    properties: {
      direction: 'Outbound'
      priority: 4000
      access: 'Deny'
      protocol: '*'
      sourceAddressPrefix: '*'
      sourcePortRange: '*'
      destinationAddressPrefix: 'Internet'
      destinationPortRange: '*'
    }
  }
])

resource functionRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-app-${name}'
  location: location
  tags: tags
  properties: {
    securityRules: restrictOutbound ? outboundRules : []
  }
}

resource endpointRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-endpoints-${name}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'from-the-network'
        properties: {
          direction: 'Inbound'
          priority: 200
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: 'VirtualNetwork'
          destinationPortRange: '443'
        }
      }
      {
        name: 'from-nowhere-else'
        properties: {
          direction: 'Inbound'
          priority: 4000
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

// The way out for the public names above. Azure's own default way out of a subnet is being retired.
resource outboundAddress 'Microsoft.Network/publicIPAddresses@2024-05-01' = {
  name: 'pip-${name}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
    publicIPAddressVersion: 'IPv4'
  }
}

resource gateway 'Microsoft.Network/natGateways@2024-05-01' = {
  name: 'ng-${name}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    idleTimeoutInMinutes: 4
    publicIpAddresses: [
      {
        id: outboundAddress.id
      }
    ]
  }
}

// Subnets are written inside the network: as resources of their own, a second deployment would take them away first.
resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: functionPrefix
          defaultOutboundAccess: false
          delegations: [
            {
              name: 'flex-consumption'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
          networkSecurityGroup: {
            id: functionRules.id
          }
          natGateway: {
            id: gateway.id
          }
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointPrefix
          defaultOutboundAccess: false
          // Without this the rules above would not apply to private endpoints.
          privateEndpointNetworkPolicies: 'NetworkSecurityGroupEnabled'
          networkSecurityGroup: {
            id: endpointRules.id
          }
        }
      }
    ]
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [
  for zoneName in zoneNames: {
    name: zoneName
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [
  for (zoneName, i) in zoneNames: {
    parent: zones[i]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: network.id
      }
    }
  }
]

@description('Resource id of the subnet that the function app is integrated with.')
output functionSubnetId string = '${network.id}/subnets/app'

@description('Resource id of the subnet for private endpoints.')
output endpointSubnetId string = '${network.id}/subnets/endpoints'

@description('Resource ids of the private DNS zones, by the zones\' names.')
output zones object = json('{${join(zoneIds, ',')}}')
