using Penstock.Lab;

namespace Penstock.Cli.Serve;

/// <summary>How a served device is given to a QEMU of one architecture.</summary>
/// <param name="Guest">The guest's architecture.</param>
/// <param name="Name">Its name, as <c>--guest</c> takes it.</param>
/// <param name="Program">The QEMU.</param>
/// <param name="Arguments">Its arguments, one each, as a program hands them over.</param>
/// <param name="Second">The arguments of a <c>penstock</c> that must run as well, or null.</param>
internal sealed record QemuMachine(GuestArchitecture Guest, string Name, string Program, string[] Arguments, string[]? Second = null);
