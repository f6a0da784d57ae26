using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// A function as the host's firmware knows it: what its IOMMU asks of it. Answers are those of the instructions (zPCI, condition codes and status
/// codes). All members may be called from any thread; none may change the domain that calls.
/// </summary>
public interface IZpciHostFunction
{
    /// <summary>Name for people.</summary>
    string Name { get; }

    /// <summary>First and last address of DMA, as the function's query reports them.</summary>
    IovaRange DmaWindow { get; }

    /// <summary>Whether new entries have to be announced, not only removed ones: a hypervisor below shadows the tables.</summary>
    bool RefreshesOnMap { get; }

    /// <summary>Whether it is an internal shared memory function: its window is registered a page too long, and its unmaps are never put off.</summary>
    bool IsInternalSharedMemory { get; }

    /// <summary>The usable window ends earlier than its firmware says; what is reported to users says so from now on.</summary>
    /// <param name="last">Last address.</param>
    void LimitDma(ulong last);

    /// <summary>Gives the function its translation (MPCIFC, register I/O address translation).</summary>
    /// <param name="first">First DMA address.</param>
    /// <param name="last">Last DMA address.</param>
    /// <param name="iota">The tables' designation; 0 for no translation.</param>
    /// <returns>The answer.</returns>
    ZpciAnswer RegisterIoat(ulong first, ulong last, ulong iota);

    /// <summary>Takes the translation away: the function's DMA is blocked (MPCIFC, deregister).</summary>
    /// <returns>The answer.</returns>
    ZpciAnswer DeregisterIoat();

    /// <summary>Entries in a range have changed (RPCIT).</summary>
    /// <param name="start">First address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>The answer.</returns>
    ZpciAnswer Refresh(ulong start, ulong length);
}
