"""What a deployment of our Bicep would contain, worked out from the files, and what its compiler would refuse.

No Bicep compiler can be installed from a package registry, and the syntax tools know no names: an undefined variable, a
module output that does not exist or a missing parameter passes them. This evaluator knows those, and it knows values:
loops, conditions and modules are carried out, so a test can ask which roles or settings a set of parameters leads to.
It does not know the resource types: whether a property exists only Azure's compiler says.

    tree        a file's text as declarations and expressions
    refusals    what is wrong with a file whatever the parameters are
    functions   Bicep's functions, and the operators
    values      what is only known while a deployment runs
    types       whether a value fits the type that a parameter declares
    arm         ARM JSON templates, where a module is written in that
    deployment  carries out a file with parameters

A value that only Azure can know (a principal's id, say) is a `Runtime`: a text that says what it would be.
"""

from tests.infra.bicep.deployment import Deployment, Resource, deploy
from tests.infra.bicep.refusals import Problem, Refused, problems
from tests.infra.bicep.values import Runtime

__all__ = ["Deployment", "Problem", "Refused", "Resource", "Runtime", "deploy", "problems"]
