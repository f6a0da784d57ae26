using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>The table of states: what each operation answers in each state, and where it leads.</summary>
public sealed class StateTests
{
    private const ZpciFunctionState Reserved = ZpciFunctionState.Reserved;
    private const ZpciFunctionState Standby = ZpciFunctionState.Standby;
    private const ZpciFunctionState Disabled = ZpciFunctionState.Disabled;
    private const ZpciFunctionState Enabled = ZpciFunctionState.Enabled;
    private const ZpciFunctionState Blocked = ZpciFunctionState.Blocked;
    private const ZpciFunctionState Error = ZpciFunctionState.Error;
    private const ZpciFunctionState Permanent = ZpciFunctionState.PermanentError;

    [Theory]
    [InlineData(Reserved, "load", "cc3", Reserved)]
    [InlineData(Reserved, "refresh", "cc3", Reserved)]
    [InlineData(Reserved, "modify 10", "cc3", Reserved)]
    [InlineData(Reserved, "store controls", "cc3", Reserved)]
    [InlineData(Reserved, "enable", "InvalidHandle", Reserved)]
    [InlineData(Reserved, "disable", "InvalidHandle", Reserved)]
    [InlineData(Reserved, "configure", "NotRecognized", Reserved)]
    [InlineData(Reserved, "deconfigure", "NotRecognized", Reserved)]
    [InlineData(Reserved, "reset", "", Reserved)]
    [InlineData(Standby, "load", "cc3", Standby)]
    [InlineData(Standby, "store", "cc3", Standby)]
    [InlineData(Standby, "store block", "cc3", Standby)]
    [InlineData(Standby, "refresh", "cc3", Standby)]
    [InlineData(Standby, "modify 7", "cc3", Standby)]
    [InlineData(Standby, "modify 10", "cc3", Standby)]
    [InlineData(Standby, "store controls", "cc3", Standby)]
    [InlineData(Standby, "enable", "HandleNotValidForOperation", Standby)]
    [InlineData(Standby, "disable", "HandleNotValidForOperation", Standby)]
    [InlineData(Standby, "configure", "Done", Disabled)]
    [InlineData(Standby, "deconfigure", "NoActionRequired", Standby)]
    [InlineData(Standby, "unplug", "gone", Reserved)]
    [InlineData(Standby, "reset", "", Standby)]
    [InlineData(Disabled, "load", "cc3", Disabled)]
    [InlineData(Disabled, "store", "cc3", Disabled)]
    [InlineData(Disabled, "store block", "cc3", Disabled)]
    [InlineData(Disabled, "refresh", "cc3", Disabled)]
    [InlineData(Disabled, "modify 7", "cc3", Disabled)]
    [InlineData(Disabled, "modify 10", "cc3", Disabled)]
    [InlineData(Disabled, "store controls", "cc0 00", Disabled)]
    [InlineData(Disabled, "store controls enabled", "cc3", Disabled)]
    [InlineData(Disabled, "enable", "Ok", Enabled)]
    [InlineData(Disabled, "disable", "HandleNotValidForOperation", Disabled)]
    [InlineData(Disabled, "configure", "NoActionRequired", Disabled)]
    [InlineData(Disabled, "deconfigure", "Done", Standby)]
    [InlineData(Disabled, "unplug", "asked", Disabled)]
    [InlineData(Disabled, "reset", "", Disabled)]
    [InlineData(Disabled, "fail", "False", Disabled)]
    [InlineData(Enabled, "load", "cc0", Enabled)]
    [InlineData(Enabled, "store", "cc0", Enabled)]
    [InlineData(Enabled, "store block", "cc0", Enabled)]
    [InlineData(Enabled, "refresh", "cc1/8", Error)]
    [InlineData(Enabled, "modify 3", "cc1/24", Enabled)]
    [InlineData(Enabled, "modify 5", "cc1/24", Enabled)]
    [InlineData(Enabled, "modify 6", "cc1/24", Enabled)]
    [InlineData(Enabled, "modify 7", "cc1/24", Enabled)]
    [InlineData(Enabled, "modify 9", "cc1/24", Enabled)]
    [InlineData(Enabled, "modify 10", "cc0", Enabled)]
    [InlineData(Enabled, "modify 1", "Operand", Enabled)]
    [InlineData(Enabled, "modify 8", "Operand", Enabled)]
    [InlineData(Enabled, "modify 16", "Operand", Enabled)]
    [InlineData(Enabled, "modify 17", "Operand", Enabled)]
    [InlineData(Enabled, "store controls", "cc0 80", Enabled)]
    [InlineData(Enabled, "enable", "HandleNotValidForOperation", Enabled)]
    [InlineData(Enabled, "disable", "Ok", Disabled)]
    [InlineData(Enabled, "mio", "HandleNotValidForOperation", Enabled)]
    [InlineData(Enabled, "configure", "NoActionRequired", Enabled)]
    [InlineData(Enabled, "deconfigure", "Done", Standby)]
    [InlineData(Enabled, "unplug", "asked", Enabled)]
    [InlineData(Enabled, "reset", "", Disabled)]
    [InlineData(Enabled, "fail", "True", Error)]
    [InlineData(Blocked, "load", "cc0", Blocked)]
    [InlineData(Blocked, "store", "cc0", Blocked)]
    [InlineData(Blocked, "refresh", "cc1/8", Error)]
    [InlineData(Blocked, "modify 7", "cc0", Enabled)]
    [InlineData(Blocked, "modify 9", "cc1/24", Blocked)]
    [InlineData(Blocked, "store controls", "cc0 c0", Blocked)]
    [InlineData(Blocked, "disable", "Ok", Disabled)]
    [InlineData(Blocked, "deconfigure", "Done", Standby)]
    [InlineData(Blocked, "reset", "", Disabled)]
    [InlineData(Error, "load", "cc1/12", Error)]
    [InlineData(Error, "store", "cc1/12", Error)]
    [InlineData(Error, "store block", "cc1/12", Error)]
    [InlineData(Error, "refresh", "cc1/40", Error)]
    [InlineData(Error, "modify 7", "cc0", Enabled)]
    [InlineData(Error, "modify 9", "cc0", Blocked)]
    [InlineData(Error, "store controls", "cc0 e0", Error)]
    [InlineData(Error, "enable", "HandleNotValidForOperation", Error)]
    [InlineData(Error, "disable", "Ok", Disabled)]
    [InlineData(Error, "deconfigure", "Done", Standby)]
    [InlineData(Error, "reset", "", Disabled)]
    [InlineData(Error, "fail", "False", Error)]
    [InlineData(Permanent, "load", "cc1/12", Permanent)]
    [InlineData(Permanent, "store", "cc1/12", Permanent)]
    [InlineData(Permanent, "refresh", "cc3", Permanent)]
    [InlineData(Permanent, "modify 7", "cc3", Permanent)]
    [InlineData(Permanent, "store controls", "cc1/8", Permanent)]
    [InlineData(Permanent, "enable", "PermanentError", Permanent)]
    [InlineData(Permanent, "disable", "PermanentError", Permanent)]
    [InlineData(Permanent, "configure", "NoActionRequired", Permanent)]
    [InlineData(Permanent, "deconfigure", "Done", Standby)]
    [InlineData(Permanent, "fail", "False", Permanent)]
    public void Operation_InState_AnswersAndLeadsAsTheTableSays(ZpciFunctionState state, string operation, string answer, ZpciFunctionState next)
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.PlugIn(state);
        Assert.Equal(answer, Run(rig, function, operation));
        Assert.Equal(next, function.State);
        Assert.Equal(next is Enabled or Blocked or Error, (function.Handle & ZpciHandle.Enabled) != 0 && next != Permanent);
    }

    private static string Run(ZpciGuestRig rig, ZpciGuestFunction function, string operation)
    {
        string[] words = operation.Split(' ');
        switch (operation)
        {
            case "load":
                return Text(rig.Bus.Load(2, ZpciGuestRig.Request(function, length: 4), 0));
            case "store":
                return Text(rig.Bus.Store(2, ZpciGuestRig.Request(function, length: 4), 0, 1));
            case "store block":
                return Text(rig.Bus.StoreBlock(ZpciGuestRig.Request(function, length: 16), 0, 0x1000));
            case "refresh":
                return Text(rig.Bus.Refresh(2, ZpciGuestRig.Request(function), 0x1_0000_0000, 0x1000));
            case "enable":
                return rig.Set(function, ZpciSetOperation.Enable).ToString();
            case "disable":
                return rig.Set(function, ZpciSetOperation.Disable).ToString();
            case "mio":
                return rig.Set(function, ZpciSetOperation.EnableMio).ToString();
            case "configure":
                return rig.Bus.Configure(function.FunctionId).ToString();
            case "deconfigure":
                return rig.Bus.Deconfigure(function.FunctionId).ToString();
            case "unplug":
                return rig.Bus.RequestUnplug(function) ? "gone" : "asked";
            case "reset":
                rig.Bus.SystemReset();
                return "";
            case "fail":
                return function.Fail(ZpciErrorEvent.AddressOutOfRange, 0).ToString();
            case "store controls" or "store controls enabled":
                uint handle = words.Length == 3 ? function.Handle | ZpciHandle.Enabled : function.Handle;
                ZpciResult stored = rig.StoreControls(handle, out ZpciFib fib);
                return Text(stored) + (stored.ConditionCode == ZpciConditionCode.Done ? $" {(byte)fib.Controls:x2}" : "");
            default:
                return Text(rig.Modify(function, (ZpciModifyOperation)byte.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture)));
        }
    }

    private static string Text(ZpciResult result) => result.Exception != ZpciProgramException.None
        ? result.Exception.ToString()
        : result.ConditionCode == ZpciConditionCode.Error ? $"cc1/{(byte)result.Status}" : $"cc{(byte)result.ConditionCode}";
}
