using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>A kind of IOMMU backend, registered with a host. Containers ask the drivers in order of registration.</summary>
public abstract class IommuBackendDriver
{
    /// <summary>Name for people.</summary>
    public abstract string Name { get; }

    /// <summary>What the driver answers to CHECK_EXTENSION for a container without a backend.</summary>
    /// <param name="extension">The extension.</param>
    /// <returns>Whether it has it.</returns>
    public abstract bool Reports(VfioIommuType extension);

    /// <summary>Makes a backend for a container that is getting one.</summary>
    /// <param name="host">The container's host.</param>
    /// <param name="type">The type asked for; <see cref="Reports"/> was true for it.</param>
    /// <param name="caller">Who asks.</param>
    /// <returns>The backend, without groups.</returns>
    /// <exception cref="VfioException">It cannot be had; the container tries the next driver.</exception>
    public abstract IommuBackend Open(VfioHost host, VfioIommuType type, Caller caller);
}
