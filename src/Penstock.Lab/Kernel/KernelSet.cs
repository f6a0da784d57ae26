namespace Penstock.Lab;

/// <summary>A kernel, either Debian's or one that the user named, and the initramfs that belongs to it; module names are canonical.</summary>
internal sealed record KernelSet(
    string KernelPath, string? Release, string InitramfsPath, IReadOnlySet<string> Loadable, IReadOnlySet<string> BuiltIn, bool IsNamed);
