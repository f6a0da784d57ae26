using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// The host's memory as one command sees it: copies that end with the controller's reset, or only what can be borrowed, for callers that
/// must not wait.
/// </summary>
/// <param name="port">The function's way to memory.</param>
/// <param name="transfer">Since when.</param>
/// <param name="borrowOnly">Memory that has to be copied or asked for answers EAGAIN.</param>
internal readonly struct NvmeHostMemory(DmaPort port, DmaTransfer transfer, bool borrowOnly)
{
    /// <summary>Copies out of the host's memory.</summary>
    internal unsafe Errno Read(ulong iova, Span<byte> destination)
    {
        if (!borrowOnly)
        {
            return port.Read(iova, destination, transfer);
        }

        using DmaScope scope = port.Enter();
        int done = 0;
        while (done < destination.Length)
        {
            if (!scope.TryBorrow(iova + (ulong)done, (ulong)(destination.Length - done), DmaAccess.Read, out DmaRun run))
            {
                return Errno.EAGAIN;
            }

            run.Span.CopyTo(destination[done..]);
            done += (int)run.Length;
        }

        return Errno.None;
    }

    /// <summary>Copies into the host's memory.</summary>
    internal Errno Write(ulong iova, ReadOnlySpan<byte> source)
    {
        if (!borrowOnly)
        {
            return port.Write(iova, source, transfer);
        }

        using DmaScope scope = port.Enter();
        int done = 0;
        while (done < source.Length)
        {
            if (!scope.TryBorrow(iova + (ulong)done, (ulong)(source.Length - done), DmaAccess.Write, out DmaRun run))
            {
                return Errno.EAGAIN;
            }

            source.Slice(done, (int)run.Length).CopyTo(run.Span);
            done += (int)run.Length;
        }

        return Errno.None;
    }
}
