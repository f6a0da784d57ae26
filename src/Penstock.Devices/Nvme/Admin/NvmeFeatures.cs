using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>Set Features and Get Features (NVM Express base specification 1.4, sections 5.9 and 5.21). On the strand only.</summary>
internal sealed class NvmeFeatures
{
    /// <summary>Temperature of the device in Kelvin: it has none of its own, so it is that of a room.</summary>
    public const ushort Temperature = 298;

    private const NvmeAsyncEventConfiguration KnownEvents = NvmeAsyncEventConfiguration.SmartMask;
    private const uint AllSensors = NvmeFeatureBits.SensorMask;

    private readonly NvmeIdentity _identity;
    private readonly NvmeNamespace _disk;
    private readonly bool[] _uncoalesced;
    private NvmeFeatureValues _values = NvmeFeatureValues.Initial;

    /// <summary>Creates the features of a controller, with their values after a reset.</summary>
    /// <param name="identity">What the controller says of itself.</param>
    /// <param name="disk">Its namespace.</param>
    public NvmeFeatures(NvmeIdentity identity, NvmeNamespace disk)
    {
        _identity = identity;
        _disk = disk;
        _uncoalesced = new bool[identity.Vectors];
    }

    /// <summary>The values in force, to be saved and loaded.</summary>
    public ref NvmeFeatureValues Values => ref _values;

    /// <summary>For each vector whether coalescing is off for it, to be saved and loaded.</summary>
    public Span<bool> Uncoalesced => _uncoalesced;

    /// <summary>Events that the host wants.</summary>
    public NvmeAsyncEventConfiguration Events => _values.Events;

    /// <summary>Whether the write cache is off, so that each write has to be durable.</summary>
    public bool WriteThrough => _disk.HasWriteCache && (_values.WriteCache & NvmeFeatureBits.WriteCacheEnable) == 0;

    /// <summary>Whether the temperature is beyond a threshold that the host has set.</summary>
    public bool IsTemperatureBeyond => Temperature >= _values.OverTemperature || Temperature <= _values.UnderTemperature;

    /// <summary>How many bytes of data go with a command: from the host for Set Features, to it for Get Features.</summary>
    /// <param name="command">A private copy.</param>
    /// <returns>The number, 0 for most.</returns>
    public static int DataLength(in NvmeCommand command) => FeatureOf(command) switch
    {
        NvmeFeatureId.HostBehavior when (NvmeAdminOpcode)command.Opcode == NvmeAdminOpcode.SetFeatures => NvmeFeatureBits.HostBehaviorSize,
        NvmeFeatureId.HostBehavior => SelectOf(command) == NvmeFeatureSelect.Capabilities ? 0 : NvmeFeatureBits.HostBehaviorSize,
        _ => 0,
    };

    /// <summary>Back to the values after a reset.</summary>
    public void Reset()
    {
        _values = NvmeFeatureValues.Initial;
        _uncoalesced.AsSpan().Clear();
    }

    /// <summary>Carries Get Features out.</summary>
    /// <param name="command">A private copy of the command.</param>
    /// <param name="data">Receives <see cref="DataLength"/> bytes.</param>
    /// <param name="result">Dword 0 of the completion.</param>
    /// <returns>Success, or what is wrong with the command.</returns>
    public NvmeStatus Get(in NvmeCommand command, Span<byte> data, out uint result)
    {
        result = 0;
        NvmeFeatureId feature = FeatureOf(command);
        NvmeFeatureSelect select = SelectOf(command);
        if (!IsKnown(feature) || select > NvmeFeatureSelect.Capabilities)
        {
            return NvmeStatus.InvalidField;
        }

        if (!IsNamespace(command.NamespaceId))
        {
            return NvmeStatus.InvalidNamespace;
        }

        if (select == NvmeFeatureSelect.Capabilities)
        {
            NvmeFeatureCapabilities can = feature == NvmeFeatureId.KeepAliveTimer ? NvmeFeatureCapabilities.None : NvmeFeatureCapabilities.Changeable;
            can |= feature == NvmeFeatureId.ErrorRecovery ? NvmeFeatureCapabilities.NamespaceSpecific : NvmeFeatureCapabilities.None;
            result = (uint)can;
            return NvmeStatus.Success;
        }

        // Nothing can be saved, so what is saved is the default.
        bool current = select == NvmeFeatureSelect.Current;
        return Read(command, feature, current, current ? _values : NvmeFeatureValues.Initial, data, out result);
    }

    /// <summary>Carries Set Features out.</summary>
    /// <param name="command">A private copy of the command.</param>
    /// <param name="data">The <see cref="DataLength"/> bytes of the host.</param>
    /// <param name="hasIoQueues">Whether an I/O queue has been created since the reset.</param>
    /// <param name="result">Dword 0 of the completion.</param>
    /// <returns>Success, or what is wrong with the command; then nothing has changed.</returns>
    public NvmeStatus Set(in NvmeCommand command, ReadOnlySpan<byte> data, bool hasIoQueues, out uint result)
    {
        result = 0;
        NvmeFeatureId feature = FeatureOf(command);
        if (!IsKnown(feature))
        {
            return NvmeStatus.InvalidField;
        }

        if ((command.Cdw10 & NvmeFeatureBits.Save) != 0)
        {
            return NvmeStatus.FeatureNotSaveable;
        }

        if (!IsNamespace(command.NamespaceId))
        {
            return NvmeStatus.InvalidNamespace;
        }

        if (command.NamespaceId == _disk.Id && feature != NvmeFeatureId.ErrorRecovery)
        {
            return NvmeStatus.FeatureNotNamespaceSpecific;
        }

        if (feature == NvmeFeatureId.NumberOfQueues)
        {
            return SetQueues(command.Cdw11, hasIoQueues, out result);
        }

        return Write(feature, command.Cdw11, data);
    }

    private static NvmeFeatureId FeatureOf(in NvmeCommand command) => (NvmeFeatureId)(command.Cdw10 & NvmeFeatureBits.FeatureMask);

    private static NvmeFeatureSelect SelectOf(in NvmeCommand command) =>
        (NvmeFeatureSelect)((command.Cdw10 >> NvmeFeatureBits.SelectShift) & NvmeFeatureBits.SelectMask);

    private bool IsNamespace(uint id) => id == 0 || id == _disk.Id || id == NvmeLimits.AllNamespaces;

    private bool IsKnown(NvmeFeatureId feature) => feature switch
    {
        NvmeFeatureId.Arbitration or NvmeFeatureId.PowerManagement or NvmeFeatureId.TemperatureThreshold or NvmeFeatureId.ErrorRecovery
            or NvmeFeatureId.NumberOfQueues or NvmeFeatureId.InterruptCoalescing or NvmeFeatureId.InterruptVectorConfiguration
            or NvmeFeatureId.WriteAtomicity or NvmeFeatureId.AsyncEventConfiguration or NvmeFeatureId.KeepAliveTimer
            or NvmeFeatureId.HostBehavior => true,
        NvmeFeatureId.VolatileWriteCache => _disk.HasWriteCache,
        _ => false,
    };

    private uint GrantedQueues => (uint)(_identity.IoQueues - 1) | ((uint)(_identity.IoQueues - 1) << NvmeQueueBits.CompletionQueuesShift);

    private NvmeStatus Read(in NvmeCommand command, NvmeFeatureId feature, bool current, in NvmeFeatureValues values, Span<byte> data, out uint result)
    {
        result = 0;
        switch (feature)
        {
            case NvmeFeatureId.TemperatureThreshold:
                return ReadThreshold(command.Cdw11, values, out result);
            case NvmeFeatureId.InterruptVectorConfiguration:
                uint vector = command.Cdw11 & NvmeFeatureBits.VectorMask;
                if (vector >= (uint)_uncoalesced.Length)
                {
                    return NvmeStatus.InvalidField;
                }

                result = vector | (current && _uncoalesced[vector] ? NvmeFeatureBits.VectorCoalescingDisable : 0);
                return NvmeStatus.Success;
            case NvmeFeatureId.HostBehavior:
                data[..NvmeFeatureBits.HostBehaviorSize].Clear();
                data[0] = values.CommandRetry;
                return NvmeStatus.Success;
        }

        result = feature switch
        {
            NvmeFeatureId.Arbitration => values.Arbitration,
            NvmeFeatureId.PowerManagement => values.Power,
            NvmeFeatureId.ErrorRecovery => values.ErrorRecovery,
            NvmeFeatureId.VolatileWriteCache => values.WriteCache,
            NvmeFeatureId.NumberOfQueues => GrantedQueues,
            NvmeFeatureId.InterruptCoalescing => values.Coalescing,
            NvmeFeatureId.WriteAtomicity => values.Atomicity,
            NvmeFeatureId.AsyncEventConfiguration => (uint)values.Events,
            _ => 0,
        };
        return NvmeStatus.Success;
    }

    private NvmeStatus Write(NvmeFeatureId feature, uint value, ReadOnlySpan<byte> data)
    {
        switch (feature)
        {
            case NvmeFeatureId.Arbitration:
                _values.Arbitration = value & NvmeFeatureBits.ArbitrationMask;
                break;
            case NvmeFeatureId.PowerManagement when (value & NvmeFeatureBits.PowerStateMask) == 0:
                _values.Power = value & NvmeFeatureBits.PowerMask;
                break;
            case NvmeFeatureId.TemperatureThreshold:
                return WriteThreshold(value);
            case NvmeFeatureId.ErrorRecovery when (value & NvmeFeatureBits.DeallocatedError) == 0:
                _values.ErrorRecovery = value & NvmeFeatureBits.ErrorRecoveryMask;
                break;
            case NvmeFeatureId.VolatileWriteCache:
                _values.WriteCache = value & NvmeFeatureBits.WriteCacheEnable;
                break;
            case NvmeFeatureId.InterruptCoalescing:
                _values.Coalescing = value & NvmeFeatureBits.CoalescingMask;
                break;
            case NvmeFeatureId.InterruptVectorConfiguration when (value & NvmeFeatureBits.VectorMask) < (uint)_uncoalesced.Length:
                _uncoalesced[value & NvmeFeatureBits.VectorMask] = (value & NvmeFeatureBits.VectorCoalescingDisable) != 0;
                break;
            case NvmeFeatureId.WriteAtomicity:
                _values.Atomicity = value & NvmeFeatureBits.AtomicityDisable;
                break;
            case NvmeFeatureId.AsyncEventConfiguration:
                _values.Events = (NvmeAsyncEventConfiguration)value & (KnownEvents | NvmeIdentify.Events);
                break;
            case NvmeFeatureId.KeepAliveTimer when value == 0:
                // There is no timer; turning it off is no change.
                break;
            case NvmeFeatureId.HostBehavior when data[0] <= 1:
                _values.CommandRetry = data[0];
                break;
            default:
                return NvmeStatus.InvalidField;
        }

        return NvmeStatus.Success;
    }

    private NvmeStatus SetQueues(uint wanted, bool hasIoQueues, out uint result)
    {
        result = 0;
        if (hasIoQueues)
        {
            return NvmeStatus.CommandSequenceError;
        }

        if ((wanted & NvmeLimits.InvalidQueueCount) == NvmeLimits.InvalidQueueCount
            || wanted >> NvmeQueueBits.CompletionQueuesShift == NvmeLimits.InvalidQueueCount)
        {
            return NvmeStatus.InvalidField;
        }

        result = GrantedQueues;
        return NvmeStatus.Success;
    }

    private static NvmeStatus ReadThreshold(uint which, in NvmeFeatureValues values, out uint result)
    {
        uint sensor = (which >> NvmeFeatureBits.SensorShift) & NvmeFeatureBits.SensorMask;
        uint type = (which >> NvmeFeatureBits.ThresholdTypeShift) & NvmeFeatureBits.ThresholdTypeMask;
        result = type == 0 ? values.OverTemperature : values.UnderTemperature;

        // There are no sensors beside the composite one.
        return sensor == 0 && type <= 1 ? NvmeStatus.Success : NvmeStatus.InvalidField;
    }

    private NvmeStatus WriteThreshold(uint value)
    {
        uint sensor = (value >> NvmeFeatureBits.SensorShift) & NvmeFeatureBits.SensorMask;
        uint type = (value >> NvmeFeatureBits.ThresholdTypeShift) & NvmeFeatureBits.ThresholdTypeMask;
        if (sensor is not (0 or AllSensors) || type > 1)
        {
            return NvmeStatus.InvalidField;
        }

        ushort kelvin = (ushort)(value & NvmeFeatureBits.TemperatureMask);
        if (type == 0)
        {
            _values.OverTemperature = kelvin;
        }
        else
        {
            _values.UnderTemperature = kelvin;
        }

        return NvmeStatus.Success;
    }
}
