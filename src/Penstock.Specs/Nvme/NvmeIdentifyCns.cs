namespace Penstock.Specs.Nvme;

/// <summary>What Identify is asked for (NVM Express base specification 1.4, section 5.15; from 05h on 2.0).</summary>
public enum NvmeIdentifyCns : byte
{
    /// <summary>A namespace: <see cref="NvmeIdentifyNamespace"/>.</summary>
    Namespace = 0x00,

    /// <summary>The controller: <see cref="NvmeIdentifyController"/>.</summary>
    Controller = 0x01,

    /// <summary>Active namespaces with larger identifiers.</summary>
    ActiveNamespaces = 0x02,

    /// <summary>Identifiers of a namespace: <see cref="NvmeNamespaceIdType"/>.</summary>
    NamespaceDescriptors = 0x03,

    /// <summary>A namespace, of a command set.</summary>
    CommandSetNamespace = 0x05,

    /// <summary>The controller, of a command set.</summary>
    CommandSetController = 0x06,

    /// <summary>Active namespaces of a command set.</summary>
    CommandSetActiveNamespaces = 0x07,

    /// <summary>A namespace, of any command set.</summary>
    IndependentNamespace = 0x08,

    /// <summary>Allocated namespaces.</summary>
    AllocatedNamespaces = 0x10,

    /// <summary>An allocated namespace.</summary>
    AllocatedNamespace = 0x11,

    /// <summary>Controllers that a namespace is attached to.</summary>
    AttachedControllers = 0x12,

    /// <summary>Controllers of the subsystem.</summary>
    Controllers = 0x13,

    /// <summary>Combinations of command sets.</summary>
    CommandSets = 0x1c,
}
