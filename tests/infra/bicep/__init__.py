"""What a deployment of our Bicep would contain, worked out from the files, and what its compiler would refuse.

No Bicep compiler can be installed from a package registry, and the syntax tools know no names: an undefined variable, a
module output that does not exist or a missing parameter passes them. This evaluator knows those, and it knows values:
loops, conditions and modules are carried out, so a test can ask which roles or settings a set of parameters leads to.
It does not know the resource types: whether a property exists only Azure's compiler says.

    tree        declarations and expressions
    reading     a file's text as those
    symbols     what a file's names stand for, and which declaration needs which
    within      what is wrong with a file by itself
    refusals    what is wrong between files, and with any of them
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
