namespace Penstock.Lab;

/// <summary>A kernel and the initramfs that belongs to it; module names are canonical.</summary>
internal sealed record KernelSet(
    string KernelPath, string? Release, string InitramfsPath, IReadOnlySet<string> Loadable, IReadOnlySet<string> BuiltIn);
