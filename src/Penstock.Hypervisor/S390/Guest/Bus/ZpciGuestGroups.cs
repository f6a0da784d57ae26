using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// The groups of a guest. A function that firmware serves is in its host's group; others are in groups that the VMM simulates, one for each
/// group of the host, as long as there are ids; all that is left is in the default group. Guarded by the bus.
/// </summary>
internal sealed class ZpciGuestGroups(byte designationTypes)
{
    private readonly Dictionary<byte, ZpciGuestGroup> _byId = new()
    {
        [ZpciLimits.DefaultGroup] = new ZpciGuestGroup(ZpciLimits.DefaultGroup) { DesignationTypes = designationTypes },
    };

    private readonly Dictionary<(byte HostId, bool Relaxed), ZpciGuestGroup> _simulated = [];

    public ZpciGuestGroup Default => _byId[ZpciLimits.DefaultGroup];

    public ZpciGuestGroup? Find(byte id) => _byId.GetValueOrDefault(id);

    /// <summary>The group of a function that says what it is.</summary>
    public ZpciGuestGroup Of(ZpciDeviceInfo info, bool interpreted, bool relaxed)
    {
        byte host = info.Base.GroupId;
        if (host >= ZpciLimits.FirstSimulatedGroup || info.Group is null)
        {
            return Default;
        }

        if (interpreted)
        {
            // One answer for all of them: without tables only as long as each of them may.
            bool all = relaxed && (!_byId.TryGetValue(host, out ZpciGuestGroup? before) || before.HasRelaxedTranslation);
            return _byId[host] = New(host).With(info, interpreted: true) with { HasRelaxedTranslation = all };
        }

        if (_simulated.TryGetValue((host, relaxed), out ZpciGuestGroup? known))
        {
            return known;
        }

        int id = ZpciLimits.FirstSimulatedGroup + _simulated.Count;
        if (id > ZpciLimits.LastSimulatedGroup)
        {
            return Default;
        }

        ZpciGuestGroup simulated = New((byte)id).With(info, interpreted: false) with { HasRelaxedTranslation = relaxed };
        _simulated.Add((host, relaxed), simulated);
        return _byId[(byte)id] = simulated;
    }

    private ZpciGuestGroup New(byte id) => new(id) { DesignationTypes = designationTypes };
}
