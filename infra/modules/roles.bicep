// Who may do what: infra/roles.json is the table, this is the loop over it.

// Rows of an empty one are left out: nobody may be named as the user.
@description('Object ids, by the table\'s names of principals.')
param principals object

// Rows of an empty one are left out: an existing workspace may have no registry.
@description('Resource ids, by the table\'s names of scopes.')
param scopes object

@description('Which of the table\'s conditions hold here.')
param conditions array

@description('Whether the user is a person, a group or a service principal.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param userPrincipalType string

@description('Assign the built-in role that a custom role stands in for, where custom roles may not be made.')
param useBuiltInRoles bool

@description('Resource groups in which the custom roles are assigned: this one, and those of existing resources.')
param assignableScopes array

// any(): what the compiler would derive from the file says that keys differ from row to row.
var table = any(loadJsonContent('../roles.json'))
var builtInRoles = table.builtInRoles
var customRoles = table.customRoles
var ownRoles = [for role in items(customRoles): role]

var holding = filter(table.assignments, row => contains(conditions, row.when))
var known = filter(holding, row => !empty(principals[row.principal]) && !empty(scopes[row.scope]))

// A custom role without a built-in one is what another built-in role of the same row's principal brings along.
var needless = filter(ownRoles, role => useBuiltInRoles && empty(role.value.builtIn))
var needlessNames = [for role in needless: role.key]
var rows = filter(known, row => !contains(needlessNames, row.role))

var definitions = useBuiltInRoles ? [] : ownRoles

// What each row really gets: a role's name, then its guid.
var roleNames = [
  for row in rows: useBuiltInRoles && contains(customRoles, row.role) ? customRoles[row.role].builtIn : row.role
]
var roleIds = [
  for key in roleNames: contains(builtInRoles, key) ? builtInRoles[key] : guid(subscription().id, resourceGroup().id, key)
]

// A role's name is unique in a tenant, its id in a subscription. With the guid in both, two environments do not meet.
resource definitionOf 'Microsoft.Authorization/roleDefinitions@2022-04-01' = [
  for role in definitions: {
    name: guid(subscription().id, resourceGroup().id, role.key)
    properties: {
      roleName: '${role.value.title} ${guid(subscription().id, resourceGroup().id, role.key)}'
      description: role.value.description
      type: 'CustomRole'
      assignableScopes: assignableScopes
      permissions: [
        {
          actions: role.value.actions
          notActions: []
          dataActions: role.value.dataActions
          notDataActions: []
        }
      ]
    }
  }
]

// The scope of a Bicep resource is a symbol; the table's scopes are resource ids of many kinds. So the assignment is ARM
// JSON, and is deployed in the group its scope is in.
module assignmentOf 'role-assignment.json' = [
  for (row, i) in rows: {
    name: 'role-${row.principal}-${uniqueString(resourceGroup().id, row.scope, row.role)}'
    scope: resourceGroup(split(scopes[row.scope], '/')[4])
    params: {
      scope: scopes[row.scope]
      principalId: principals[row.principal]
      principalType: row.principal == 'user' ? userPrincipalType : 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[i])
      why: row.why
    }
    dependsOn: [definitionOf]
  }
]
