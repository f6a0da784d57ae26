using Penstock.Hypervisor;

namespace Penstock.Cli;

/// <summary>Names of the ways of RPCIT on a command line.</summary>
internal static class RpcitPaths
{
    private static readonly Dictionary<string, RpcitPath> Names = new()
    {
        ["fallback"] = RpcitPath.Fallback,
        ["shadow"] = RpcitPath.Shadow,
        ["nested"] = RpcitPath.Nested,
    };

    public static RpcitPath Parse(string text) => Names.TryGetValue(text, out RpcitPath known)
        ? known
        : throw new UsageException($"there is no way of RPCIT '{text}'; choose one of {string.Join(", ", Names.Keys)}");
}
