namespace Penstock.Vfio.Tests.RejectedDesigns;

/// <summary>
/// The external reference to a container that was once argued for: a hypervisor keeps the container's file open and reaches for the
/// backend's data through it whenever it needs them.
/// </summary>
internal sealed class ContainerReference(VfioContainer container) : IDisposable
{
    /// <summary>The backend's data; null is what the reference did not promise.</summary>
    public object? BackendData => container.HasBackend ? container : null;

    /// <summary>What the hypervisor does with them.</summary>
    public void Map(UserMemory memory) => container.MapDma(0, memory.Length, DmaAccess.ReadWrite, memory, 0);

    public void Dispose() => container.Dispose();
}
