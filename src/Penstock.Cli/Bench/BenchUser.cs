using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>Whose devices and memory the benches use.</summary>
internal static class BenchUser
{
    /// <summary>Somebody without privileges, who may lock as much memory as a bench wants.</summary>
    internal static readonly Caller Anybody = new(0, RawIo: false, LockMemory: false, ulong.MaxValue);
}
