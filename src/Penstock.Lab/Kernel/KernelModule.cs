namespace Penstock.Lab.Kernel;

/// <summary>One loadable module, uncompressed.</summary>
/// <param name="Name">Canonical name.</param>
/// <param name="Path">Path below <c>/lib/modules/RELEASE</c>, ending in <c>.ko</c>.</param>
/// <param name="Content">The ELF file.</param>
/// <param name="Info">What its .modinfo section says.</param>
internal sealed record KernelModule(string Name, string Path, byte[] Content, ModuleInfo Info);
